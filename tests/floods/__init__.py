"""Floods and rubbish, against the real system: nothing gives a 500, a hang, or another balance."""
