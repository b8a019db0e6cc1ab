"""Sources that grow: what is added to folders and listings while a run goes on, each input once."""
