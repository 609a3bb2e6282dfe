"""What screens and summaries read: histograms, latest-value cells. Written by kernels, read by anybody, waited for by nobody."""
