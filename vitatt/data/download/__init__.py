"""Download published datasets: files that resume after a cut, and archives unpacked safely."""
