// Cross-entropy of rows of logits. Sums are float within a block and double over blocks; logarithms are double.
#ifndef RTK_LOSSES_H
#define RTK_LOSSES_H

#include "elementwise.h"
#include "rows.h"

static void cross_entropy(double *value, float *gradient, const float *logits, const int32_t *labels, size_t R,
                          size_t C) {
  for (size_t r = 0; r < R; r++) {
    const float *row = logits + r * C;
    float *g = gradient + r * C;
    if (labels[r] < 0) {
      value[r] = 0;
      fill(g, 0, C);
      continue;
    }
    size_t label = (size_t)labels[r];
    float shift = row_max(row, C), score = row[label];  // before g, which may be the logits, is written
    double sum = exponentiate(g, row, C, shift, 1);
    value[r] = __builtin_log(sum) - ((double)score - (double)shift);
    scale(g, (float)(1 / sum), C);
    g[label] -= 1;
  }
}

#endif
