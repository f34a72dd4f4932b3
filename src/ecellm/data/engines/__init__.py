"""The engines that read raw files into tables: DuckDB on one machine, Spark on a cluster."""
