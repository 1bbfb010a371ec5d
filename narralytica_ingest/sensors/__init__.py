"""What watches: the job table (dispatch), ended runs (status), and whatever fell silent (upkeep)."""
