"""The program `vaelib`: from a configuration file to a trained run in a folder of its own, and what
is done with it.
"""
