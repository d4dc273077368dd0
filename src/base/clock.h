/* SPDX-License-Identifier: Apache-2.0 */
#ifndef WAZN_BASE_CLOCK_H
#define WAZN_BASE_CLOCK_H

double clock_seconds(void);     /* monotonic, from an arbitrary start */
double clock_cpu_seconds(void); /* processor time of this process, all threads */

#endif
