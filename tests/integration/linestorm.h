/* Clients of lines under an upstream that commits every fault at random. */
#ifndef LINESTORM_H
#define LINESTORM_H

/* Fails the test if anything is lost, told twice or left; prints what happened. */
void	linestorm(int seconds, int clients, unsigned seed);

#endif
