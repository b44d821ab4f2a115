/* A flock that a file system does not have: NFS without lockd, unless NO_FLOCK says otherwise. */

#include <errno.h>
#include <stdlib.h>

int flock(int descriptor, int operation) {
    (void)descriptor, (void)operation;
    const char *number = getenv("NO_FLOCK");
    errno = number ? atoi(number) : ENOLCK;
    return -1;
}
