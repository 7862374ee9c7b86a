"""The words of the project and the contract of its tables: names, ids, enums, columns."""
