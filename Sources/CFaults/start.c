// What holds before the libraries run code of their own.
#define _GNU_SOURCE
#include "last_line.h"

// OpenBLAS asks this function, as the program has it, how many threads to start when it is loaded. Retort cuts products
// up itself and gives OpenBLAS one thread; each further one would take 134 MB of addresses, and where they are limited
// ask for them for ever.
int openblas_num_threads_env(void) { return 1; }
