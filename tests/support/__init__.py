"""What the tests share: the installed commands, made-up weeks, a fake of FINRA, servers to stop and start."""
