/* hopper.h's wgmma, for each width: what differs is how many sums a lane has, and so the operands'
 * numbers. Included by hopper.h alone. */
#pragma once

template <int N> struct wgmma_of;

#define WGMMA_WIDTH(N, PLACES, A, B, ADD, A_ACROSS, B_ACROSS, ...)                                 \
    template <> struct wgmma_of<N> {                                                               \
        template <int a_across, int b_across>                                                      \
        static __device__ __forceinline__ void issue(float (&d)[N / 8][4], uint64_t a, uint64_t b, \
                                                     bool add)                                     \
        {                                                                                          \
            asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, %" ADD ", 0;\n"                     \
                         "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32.bf16.bf16 {" PLACES       \
                         "}, %" A ", %" B ", add, 1, 1, %" A_ACROSS ", %" B_ACROSS ";\n}"          \
                         : __VA_ARGS__                                                             \
                         : "l"(a), "l"(b), "r"((int)add), "n"(a_across), "n"(b_across));           \
        }                                                                                          \
    };
#define WGMMA_SUMS(j)   "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define WGMMA_SUMS2(j)  WGMMA_SUMS(j), WGMMA_SUMS(j + 1)
#define WGMMA_SUMS4(j)  WGMMA_SUMS2(j), WGMMA_SUMS2(j + 2)
#define WGMMA_SUMS8(j)  WGMMA_SUMS4(j), WGMMA_SUMS4(j + 4)
#define WGMMA_PLACES_4  "%0, %1, %2, %3"
#define WGMMA_PLACES_8  WGMMA_PLACES_4 ", %4, %5, %6, %7"
#define WGMMA_PLACES_12 WGMMA_PLACES_8 ", %8, %9, %10, %11"
#define WGMMA_PLACES_16 WGMMA_PLACES_12 ", %12, %13, %14, %15"
#define WGMMA_PLACES_24 WGMMA_PLACES_16 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define WGMMA_PLACES_32 WGMMA_PLACES_24 ", %24, %25, %26, %27, %28, %29, %30, %31"
#define WGMMA_PLACES_48                                                                            \
    WGMMA_PLACES_32                                                                                \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
#define WGMMA_PLACES_64                                                                            \
    WGMMA_PLACES_48                                                                                \
    ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

WGMMA_WIDTH(8, WGMMA_PLACES_4, "4", "5", "6", "7", "8", WGMMA_SUMS(0))
WGMMA_WIDTH(16, WGMMA_PLACES_8, "8", "9", "10", "11", "12", WGMMA_SUMS2(0))
WGMMA_WIDTH(24, WGMMA_PLACES_12, "12", "13", "14", "15", "16", WGMMA_SUMS2(0), WGMMA_SUMS(2))
WGMMA_WIDTH(32, WGMMA_PLACES_16, "16", "17", "18", "19", "20", WGMMA_SUMS4(0))
WGMMA_WIDTH(48, WGMMA_PLACES_24, "24", "25", "26", "27", "28", WGMMA_SUMS4(0), WGMMA_SUMS2(4))
WGMMA_WIDTH(64, WGMMA_PLACES_32, "32", "33", "34", "35", "36", WGMMA_SUMS8(0))
WGMMA_WIDTH(96, WGMMA_PLACES_48, "48", "49", "50", "51", "52", WGMMA_SUMS8(0), WGMMA_SUMS4(8))
WGMMA_WIDTH(128, WGMMA_PLACES_64, "64", "65", "66", "67", "68", WGMMA_SUMS8(0), WGMMA_SUMS8(8))

#undef WGMMA_WIDTH
