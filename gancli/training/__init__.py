"""What all papers share: how a player moves, how a run continues after a kill, and what is written where."""
