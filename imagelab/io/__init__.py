"""Reading and keeping pictures, whoever asks: files, archives, arrays, tables, lists, the cache, atomic writes."""
