<#
.SYNOPSIS
    Registers Market Spine's weekly run with the Windows Task Scheduler: Friday, 8:00 in New York.
.DESCRIPTION
    The Task Scheduler uses the zone of this machine, and New York changes its clock on other days than many zones. The
    task therefore starts every hour on Friday and Saturday (8:00 on Friday in New York is Saturday in Sydney), and
    Invoke-MarketSpine.ps1 continues only if it is 8:00 on Friday in New York. Run it once, as administrator.
.EXAMPLE
    .\Register-MarketSpine.ps1 -Program C:\market-spine\Scripts\run_finra_weekly_schedule.exe -Folder C:\market-spine\data
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Mandatory)] [string] $Program,
    [Parameter(Mandatory)] [string] $Folder,
    [string] $TaskName = 'Market Spine weekly run'
)

Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'

foreach ($path in $Program, $Folder) {
    if (-not (Test-Path -LiteralPath $path)) { throw "$path is not there" }
}

$script = Join-Path $PSScriptRoot 'Invoke-MarketSpine.ps1'
$arguments = "-NoProfile -NonInteractive -ExecutionPolicy RemoteSigned -File `"$script`" -Program `"$Program`" -Folder `"$Folder`""
$action = New-ScheduledTaskAction -Execute 'powershell.exe' -Argument $arguments -WorkingDirectory $Folder
$triggers = foreach ($hour in 0..23) {
    New-ScheduledTaskTrigger -Weekly -DaysOfWeek 'Friday', 'Saturday' -At ([datetime]::Today.AddHours($hour))
}
$settings = New-ScheduledTaskSettingsSet -MultipleInstances IgnoreNew -ExecutionTimeLimit (New-TimeSpan -Hours 2)
$principal = New-ScheduledTaskPrincipal -UserId 'NT AUTHORITY\LOCAL SERVICE' -LogonType ServiceAccount

if ($PSCmdlet.ShouldProcess($TaskName, 'Register the scheduled task')) {
    if (-not [System.Diagnostics.EventLog]::SourceExists('Market Spine')) {
        New-EventLog -LogName Application -Source 'Market Spine'
    }
    Register-ScheduledTask -TaskName $TaskName -Action $action -Trigger $triggers -Settings $settings -Principal $principal -Force
}
