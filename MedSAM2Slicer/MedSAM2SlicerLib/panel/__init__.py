"""The module's panel: what the user sees and presses. It renders the session's state, and holds none of its own."""
