"""What all papers share: how a player moves, how a run goes on after a kill, what is written where."""
