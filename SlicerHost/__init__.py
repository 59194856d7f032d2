"""A stand-in for the Slicer application, for trying and testing the module without it."""
