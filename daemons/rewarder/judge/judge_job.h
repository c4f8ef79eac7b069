/* Inside judge only: a group before the judge. Its questions are asked at the same time, and their
 * verdicts become scores once all are there.
 *
 *     fetcher_run(judge->fetcher, judge_job_begin, judge, call);
 *     fetcher_run(judge->fetcher, judge_job_drop, judge, call);    -- nobody waits for it any more
 *
 * Of pairs a score is the share of wins: the mean over the others of the verdict for this one. With
 * both orders a pair is asked about twice, and each place weighs the same. So a judge's liking for
 * a place leaves no trace in a score. The fetcher's thread. */
#pragma once
#include "rewarder/judge/judge_state.h"

enum { JUDGE_QUESTIONS = 4096 }; // for one group

void judge_job_begin(void *judge, void *call);
void judge_job_drop(void *judge, void *call);
void judge_job_register(void); // metrics
