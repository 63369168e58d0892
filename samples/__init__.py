"""The bundled sample crawl and the packer that turns it into WARC files."""
