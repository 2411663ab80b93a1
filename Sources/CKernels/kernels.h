// All kernels for one instruction set. kernels_*.c includes this once, inside a target attribute, with
//   RTK_W      the floats in a vector
//   RTK_TABLE  the table to define
//   RTK_NAME   the set's name
//   RTK_HAS_BF16  where the set multiplies bf16
#include "vector.h"
#include "transcendental.h"

#include "formats.h"
#include "elementwise.h"
#include "activations.h"
#include "random.h"
#include "rows.h"
#include "dropout.h"
#include "products.h"
#include "attention.h"
#ifdef RTK_HAS_BF16
#include "products_bf16.h"
#include "attention_bf16.h"
#else
#include "attention_widened.h"
#endif
#include "bf16_rows.h"
#include "rms_norm.h"
#include "rotary.h"
#include "gated.h"
#include "decoding.h"
#include "losses.h"
#include "head_loss.h"
#include "divergences.h"
#include "row_losses.h"
#include "class_losses.h"
#include "compare_attention.h"
#include "optimizer.h"

const rtk_table RTK_TABLE = {
  .name = RTK_NAME,
#define RTK_ENTRY(result, name, parameters, arguments) .name = name,
  RTK_KERNELS(RTK_ENTRY)
#undef RTK_ENTRY
};
