"""The sub-commands of ``pnc`` that the core itself brings; the other packages bring their own."""
