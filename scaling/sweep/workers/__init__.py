"""Workers: the processes that train the runs of a folder."""
