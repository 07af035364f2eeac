"""`python -m memory_service` is the command `memory-service`."""

from memory_service.commands.main import main

if __name__ == "__main__":
    main()
