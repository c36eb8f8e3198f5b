# Runs a script that was delivered in parts, once. Its output and its exit
# code are left in files, the exit code last.
param([string]$Dir, [string]$Name, [string]$Sum, [int]$Parts, [string]$Extension)
Set-Location -LiteralPath $Dir
try {
    New-Item -ItemType Directory -Path "$Dir\$Name.once" -ErrorAction Stop | Out-Null
} catch {
    exit 0
}
[IO.File]::WriteAllText("$Dir\$Name.begun", (Get-Date -Format o))
$code = 121
try {
    $script = [IO.File]::Create("$Dir\$Name.script.$Extension")
    try {
        for ($i = 0; $i -lt $Parts; $i++) {
            $bytes = [IO.File]::ReadAllBytes("$Dir\$Name.$Sum.$i")
            $script.Write($bytes, 0, $bytes.Length)
        }
    } finally {
        $script.Close()
    }
    Remove-Item -Path "$Dir\$Name.$Sum.*"
    if ($Extension -eq 'cmd') {
        & cmd.exe /c "$Dir\$Name.script.cmd" *> "$Dir\$Name.out"
    } else {
        & powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "$Dir\$Name.script.ps1" *> "$Dir\$Name.out"
    }
    $code = $LASTEXITCODE
} catch {
    Add-Content -LiteralPath "$Dir\$Name.out" -Value $_.ToString()
}
$tail = ''
if (Test-Path -LiteralPath "$Dir\$Name.out") {
    $tail = Get-Content -LiteralPath "$Dir\$Name.out" -Raw
    if ($null -eq $tail) { $tail = '' }
    if ($tail.Length -gt 16384) { $tail = $tail.Substring($tail.Length - 16384) }
}
[IO.File]::WriteAllText("$Dir\$Name.tail", $tail)
[IO.File]::WriteAllText("$Dir\$Name.exit.new", "$code")
Move-Item -LiteralPath "$Dir\$Name.exit.new" -Destination "$Dir\$Name.exit"
exit 0
