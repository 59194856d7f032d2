"""The sub-commands of `medsam2`, one file each; what a sub-command needs is imported when it runs."""
