"""Reading and writing: pictures in files, archives, arrays and tables; the cache; atomic writes; code of one's own."""
