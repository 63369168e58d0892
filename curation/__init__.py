"""From a crawl to a curated corpus: jobs, stages, runner. Everything here may touch a disk or a cluster."""
