"""Engines: faster ways to run some layers of one backend. What none of them takes, the layers run themselves."""
