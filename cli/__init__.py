"""The command line: `layerforge COMMAND`, one file a command."""
