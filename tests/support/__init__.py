"""What the tests share: servers, runs, models and the command line. No tests."""
