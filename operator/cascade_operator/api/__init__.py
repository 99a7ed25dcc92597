"""The vocabulary of both sides (stages 01-02): the session, its status, the records. No I/O."""
