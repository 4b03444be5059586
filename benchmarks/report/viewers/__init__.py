"""`edgeskin export`: results for Model Explorer, Perfetto, and whatever reads Parquet."""
