"""Features as pure Ibis expressions: tables and a moment in, one table per entity out."""
