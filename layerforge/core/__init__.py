"""What every other room stands on: errors, memory, blobs, randomness, devices, logging."""
