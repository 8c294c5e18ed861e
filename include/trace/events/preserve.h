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

DECLARE_EVENT_CLASS(preserve_blocks,
		    TP_PROTO(int nid, unsigned long wanted, unsigned long got),
		    TP_ARGS(nid, wanted, got),
		    TP_STRUCT__entry(__field(int, nid)
				     __field(unsigned long, wanted)
				     __field(unsigned long, got)),
		    TP_fast_assign(__entry->nid = nid;
				   __entry->wanted = wanted;
				   __entry->got = got;),
		    TP_printk("nid=%d blocks_wanted=%lu blocks=%lu",
			      __entry->nid, __entry->wanted, __entry->got)
);

DEFINE_EVENT(preserve_blocks, preserve_grow,
	     TP_PROTO(int nid, unsigned long wanted, unsigned long got),
	     TP_ARGS(nid, wanted, got));

DEFINE_EVENT(preserve_blocks, preserve_shrink,
	     TP_PROTO(int nid, unsigned long wanted, unsigned long got),
	     TP_ARGS(nid, wanted, got));

DEFINE_EVENT(preserve_blocks, preserve_recall,
	     TP_PROTO(int nid, unsigned long wanted, unsigned long got),
	     TP_ARGS(nid, wanted, got));

TRACE_EVENT(preserve_lend,
	    TP_PROTO(int nid, unsigned long nr_blocks),
	    TP_ARGS(nid, nr_blocks),
	    TP_STRUCT__entry(__field(int, nid)
			     __field(unsigned long, nr_blocks)),
	    TP_fast_assign(__entry->nid = nid;
			   __entry->nr_blocks = nr_blocks;),
	    TP_printk("nid=%d blocks=%lu", __entry->nid, __entry->nr_blocks)
);

TRACE_EVENT(preserve_yield,
	    TP_PROTO(unsigned long pfn),
	    TP_ARGS(pfn),
	    TP_STRUCT__entry(__field(unsigned long, pfn)),
	    TP_fast_assign(__entry->pfn = pfn;),
	    TP_printk("pfn=%#lx", __entry->pfn)
);

TRACE_EVENT(preserve_evacuate,
	    TP_PROTO(unsigned long pfn, unsigned int nr_blocks,
		     unsigned long moved, int err),
	    TP_ARGS(pfn, nr_blocks, moved, err),
	    TP_STRUCT__entry(__field(unsigned long, pfn)
			     __field(unsigned int, nr_blocks)
			     __field(unsigned long, moved)
			     __field(int, err)),
	    TP_fast_assign(__entry->pfn = pfn;
			   __entry->nr_blocks = nr_blocks;
			   __entry->moved = moved;
			   __entry->err = err;),
	    TP_printk("pfn=%#lx blocks=%u pages_in_use=%lu err=%d",
		      __entry->pfn, __entry->nr_blocks, __entry->moved,
		      __entry->err)
);

TRACE_EVENT(preserve_compact,
	    TP_PROTO(int passes, unsigned long moved, int err),
	    TP_ARGS(passes, moved, err),
	    TP_STRUCT__entry(__field(int, passes)
			     __field(unsigned long, moved)
			     __field(int, err)),
	    TP_fast_assign(__entry->passes = passes;
			   __entry->moved = moved;
			   __entry->err = err;),
	    TP_printk("passes=%d pages=%lu err=%d", __entry->passes,
		      __entry->moved, __entry->err)
);

TRACE_EVENT(preserve_freeze,
	    TP_PROTO(u64 nr_blocks, u64 nr_tables),
	    TP_ARGS(nr_blocks, nr_tables),
	    TP_STRUCT__entry(__field(u64, nr_blocks)
			     __field(u64, nr_tables)),
	    TP_fast_assign(__entry->nr_blocks = nr_blocks;
			   __entry->nr_tables = nr_tables;),
	    TP_printk("blocks=%llu tables=%llu", __entry->nr_blocks,
		      __entry->nr_tables)
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
