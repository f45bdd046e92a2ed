<#
.SYNOPSIS
Enqueue a week through the HTTP API, each stage some minutes after the one before. Safe to run twice.

.EXAMPLE
.\Schedule-WeeklyFINRA.ps1 -WeekEnding 2025-12-26 -ApiBase http://127.0.0.1:8000

.EXAMPLE
.\Schedule-WeeklyFINRA.ps1 -Register -TokenFile C:\market-spine\token
Registers a task that enqueues the last Friday's week every Friday at 7:30.
#>
[CmdletBinding()]
param(
    [ValidatePattern('^\d{4}-\d{2}-\d{2}$')] [string] $WeekEnding,
    [string] $ApiBase = 'http://127.0.0.1:8000',
    [int] $StaggerMinutes = 10,
    [string] $TokenFile,
    [switch] $Rerun,
    [switch] $Register
)
$ErrorActionPreference = 'Stop'

if ($Register) {
    $arguments = "-NoProfile -ExecutionPolicy Bypass -File `"$PSCommandPath`" -ApiBase $ApiBase -StaggerMinutes $StaggerMinutes"
    if ($TokenFile) { $arguments += " -TokenFile `"$TokenFile`"" }
    $action = New-ScheduledTaskAction -Execute 'powershell.exe' -Argument $arguments
    $trigger = New-ScheduledTaskTrigger -Weekly -DaysOfWeek Friday -At 7:30am
    $settings = New-ScheduledTaskSettingsSet -StartWhenAvailable -MultipleInstances IgnoreNew
    Register-ScheduledTask -TaskName 'Market Spine weekly FINRA' -Action $action -Trigger $trigger -Settings $settings
    return
}

$day = if ($WeekEnding) { [datetime]::ParseExact($WeekEnding, 'yyyy-MM-dd', [cultureinfo]::InvariantCulture) } else { (Get-Date).Date }
if (-not $WeekEnding) { while ($day.DayOfWeek -ne 'Friday') { $day = $day.AddDays(-1) } }
if ($day.DayOfWeek -ne 'Friday') { throw "$WeekEnding is a $($day.DayOfWeek), not a Friday" }
$week = $day.ToString('yyyy-MM-dd', [cultureinfo]::InvariantCulture)
$begin = (Get-Date).ToUniversalTime()

function New-Item-Of([string] $Pipeline, [int] $Stage, [string] $Tier) {
    $key = @{ week_ending = $week }
    if ($Tier) { $key.tier = $Tier }
    $due = $begin.AddMinutes($Stage * $StaggerMinutes).ToString("yyyy-MM-dd'T'HH:mm:ss+00:00", [cultureinfo]::InvariantCulture)
    @{ pipeline = $Pipeline; partition_key = $key; desired_at = $due; priority = 3 - $Stage; rerun = [bool] $Rerun }
}

$items = foreach ($tier in 'NMS_TIER_1', 'NMS_TIER_2', 'OTC') {
    New-Item-Of 'ingest_week' 0 $tier
    New-Item-Of 'normalize_week' 1 $tier
    foreach ($pipeline in 'compute_venue_volume', 'compute_venue_share', 'compute_hhi') { New-Item-Of $pipeline 2 $tier }
}
$items += New-Item-Of 'compute_tier_split' 3 ''
$items += New-Item-Of 'compute_weekly_totals' 3 ''

$headers = @{}
if ($TokenFile) { $headers.Authorization = "Bearer $((Get-Content -Raw $TokenFile).Trim())" }
$body = ConvertTo-Json -InputObject @($items) -Depth 4
$answer = Invoke-RestMethod -Method Post -Uri "$ApiBase/api/v1/work/enqueue" -ContentType 'application/json' -Headers $headers -Body $body
$answer.items | ForEach-Object {
    '{0,6}  {1,-22} {2,-12} {3,-10} {4}' -f $_.item.id, $_.item.pipeline, $_.item.partition_key.tier, $_.outcome, $_.item.state
}
