<#
.SYNOPSIS
    Runs Market Spine if it is 8:00 on Friday in New York; exits with the run's exit code.
.DESCRIPTION
    Each run writes a log to Folder\logs; the newest 26 are kept. A failed run writes to the Application event
    log: a warning for exit code 1, an error for any other but 75 (another run holds the lock). -Force runs at any hour.
#>
[CmdletBinding()]
param(
    [Parameter(Mandatory)] [string] $Program,
    [Parameter(Mandatory)] [string] $Folder,
    [string[]] $Options = @('--source', 'api'),
    [int] $KeepLogs = 26,
    [switch] $Force
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Continue'

$there = [System.TimeZoneInfo]::ConvertTimeBySystemTimeZoneId([datetime]::UtcNow, 'UTC', 'Eastern Standard Time')
if (-not $Force -and -not ($there.DayOfWeek -eq 'Friday' -and $there.Hour -eq 8)) { exit 0 }

Set-Location -LiteralPath $Folder
$logs = Join-Path $Folder 'logs'
New-Item -ItemType Directory -Path $logs -Force | Out-Null
$log = Join-Path $logs ('weekly-{0:yyyyMMddTHHmmssZ}.log' -f [datetime]::UtcNow)

$env:PYTHONUTF8 = '1'
& $Program --cron @Options *> $log
$code = $LASTEXITCODE

Get-ChildItem -LiteralPath $logs -Filter 'weekly-*.log' | Sort-Object Name -Descending |
    Select-Object -Skip $KeepLogs | Remove-Item

if ($code -notin 0, 75) {
    $kind = if ($code -eq 1) { 'Warning' } else { 'Error' }
    $text = "Market Spine ended with exit code $code; see $log"
    Write-EventLog -LogName Application -Source 'Market Spine' -EventId (1000 + $code) -EntryType $kind -Message $text
}
exit $code
