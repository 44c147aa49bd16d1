"""The command line: one file per command, which parses, calls and prints. Only this package imports typer."""
