"""Where and how numbers are computed: device, number format, random numbers."""
