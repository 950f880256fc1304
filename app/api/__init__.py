"""The HTTP interface: parse, call one service, render."""
