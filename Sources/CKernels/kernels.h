// All kernels for one instruction set. kernels_*.c includes this once, inside a target attribute, with
//   RTK_W         the floats in a vector
//   RTK_TABLE     the table to define
//   RTK_NAME      the set's name
//   RTK_HAS_BF16  where the set multiplies bf16
#ifndef RTK_KERNELS_H
#define RTK_KERNELS_H

#include "activations.h"
#include "attention.h"
#include "attention_bf16.h"
#include "attention_widened.h"
#include "bf16_rows.h"
#include "class_losses.h"
#include "compare_attention.h"
#include "decoding.h"
#include "divergences.h"
#include "dropout.h"
#include "elementwise.h"
#include "formats.h"
#include "gated.h"
#include "head_loss.h"
#include "head_norm.h"
#include "losses.h"
#include "optimizer.h"
#include "products.h"
#include "random.h"
#include "rms_norm.h"
#include "rotary.h"
#include "row_losses.h"
#include "rows.h"
#include "stream_norm.h"
#include "table.h"

#ifdef RTK_TABLE
const rtk_table RTK_TABLE = {
  .name = RTK_NAME,
#define RTK_KERNEL(result, name, ...) .name = name,
#include "include/retort_kernels.def"
#undef RTK_KERNEL
};
#endif

#endif
