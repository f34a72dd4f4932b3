"""Tables in files, a user's own or public: lines, records and cells, read the same way by every command."""
