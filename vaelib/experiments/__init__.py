"""The program `vaelib`: from a configuration file to a trained run, and what is done with it."""
