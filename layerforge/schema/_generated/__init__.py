"""Made by `make proto` from proto/layerforge.proto: the compiled descriptor layerforge.desc."""
