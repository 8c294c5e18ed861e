/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Trace points of mm/preserve: what an operator or a developer wants to see
 * happen. Sizes are in pages unless a name says otherwise.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM preserve

#if !defined(_TRACE_PRESERVE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_PRESERVE_H

#include <linux/tracepoint.h>

TRACE_EVENT(preserve_alloc,
	    TP_PROTO(unsigned long pfn, unsigned int order, int nid),
	    TP_ARGS(pfn, order, nid),
	    TP_STRUCT__entry(__field(unsigned long, pfn)
			     __field(unsigned int, order)
			     __field(int, nid)),
	    TP_fast_assign(__entry->pfn = pfn;
			   __entry->order = order;
			   __entry->nid = nid;),
	    TP_printk("pfn=%#lx order=%u nid=%d%s", __entry->pfn,
		      __entry->order, __entry->nid,
		      __entry->pfn ? "" : " exhausted")
);

TRACE_EVENT(preserve_free,
	    TP_PROTO(unsigned long pfn, unsigned int order),
	    TP_ARGS(pfn, order),
	    TP_STRUCT__entry(__field(unsigned long, pfn)
			     __field(unsigned int, order)),
	    TP_fast_assign(__entry->pfn = pfn;
			   __entry->order = order;),
	    TP_printk("pfn=%#lx order=%u", __entry->pfn, __entry->order)
);

TRACE_EVENT(preserve_resize,
	    TP_PROTO(long wanted_blocks, long got_blocks),
	    TP_ARGS(wanted_blocks, got_blocks),
	    TP_STRUCT__entry(__field(long, wanted_blocks)
			     __field(long, got_blocks)),
	    TP_fast_assign(__entry->wanted_blocks = wanted_blocks;
			   __entry->got_blocks = got_blocks;),
	    TP_printk("wanted_blocks=%ld got_blocks=%ld",
		      __entry->wanted_blocks, __entry->got_blocks)
);

TRACE_EVENT(preserve_adopt,
	    TP_PROTO(u64 nr_blocks, u64 nr_live, int err),
	    TP_ARGS(nr_blocks, nr_live, err),
	    TP_STRUCT__entry(__field(u64, nr_blocks)
			     __field(u64, nr_live)
			     __field(int, err)),
	    TP_fast_assign(__entry->nr_blocks = nr_blocks;
			   __entry->nr_live = nr_live;
			   __entry->err = err;),
	    TP_printk("blocks=%llu live=%llu err=%d", __entry->nr_blocks,
		      __entry->nr_live, __entry->err)
);

DECLARE_EVENT_CLASS(preserve_file,
		    TP_PROTO(u64 record, u64 nr_pages, u64 nr_runs, int err),
		    TP_ARGS(record, nr_pages, nr_runs, err),
		    TP_STRUCT__entry(__field(u64, record)
				     __field(u64, nr_pages)
				     __field(u64, nr_runs)
				     __field(int, err)),
		    TP_fast_assign(__entry->record = record;
				   __entry->nr_pages = nr_pages;
				   __entry->nr_runs = nr_runs;
				   __entry->err = err;),
		    TP_printk("record=%#llx pages=%llu runs=%llu err=%d",
			      __entry->record, __entry->nr_pages,
			      __entry->nr_runs, __entry->err)
);

DEFINE_EVENT(preserve_file, preserve_claim,
	     TP_PROTO(u64 record, u64 nr_pages, u64 nr_runs, int err),
	     TP_ARGS(record, nr_pages, nr_runs, err));

DEFINE_EVENT(preserve_file, preserve_unclaim,
	     TP_PROTO(u64 record, u64 nr_pages, u64 nr_runs, int err),
	     TP_ARGS(record, nr_pages, nr_runs, err));

DEFINE_EVENT(preserve_file, preserve_restore,
	     TP_PROTO(u64 record, u64 nr_pages, u64 nr_runs, int err),
	     TP_ARGS(record, nr_pages, nr_runs, err));

#endif /* _TRACE_PRESERVE_H */

#include <trace/define_trace.h>
