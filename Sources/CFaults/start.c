// Settings that must apply before the libraries run their own start code.
#define _GNU_SOURCE
#include "last_line.h"

// OpenBLAS calls this function of the program when it is loaded, for the number of threads to start. Retort divides
// products itself and gives OpenBLAS one thread; each further one would take 134 MB of addresses, and if they are
// limited OpenBLAS would request them forever.
int openblas_num_threads_env(void) { return 1; }
