package io.plumline;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What a client knows of a service, and what it would do with it. {@link #toString} is a table. */
public final class Explanation {
    private final String query;
    private final String summary;
    private final int usable;
    private final String source;
    private final String table;
    private final List<Verdict> endpoints;

    Explanation(FrameReader frame) {
        query = frame.text();
        summary = frame.text();
        usable = frame.count();
        source = frame.text();
        table = frame.text();
        int count = frame.u32();
        List<Verdict> verdicts = new ArrayList<>(count);
        for (int n = 0; n < count; n++) {
            verdicts.add(new Verdict(frame));
        }
        endpoints = Collections.unmodifiableList(verdicts);
    }

    /**
     * What was asked.
     *
     * @return the query as text
     */
    public String query() {
        return query;
    }

    /**
     * How many endpoints are usable and where the list is from; or why there is none.
     *
     * @return one line
     */
    public String summary() {
        return summary;
    }

    /**
     * How many endpoints would be called.
     *
     * @return how many
     */
    public int usable() {
        return usable;
    }

    /**
     * Where the list is from and how old it is.
     *
     * @return one line
     */
    public String source() {
        return source;
    }

    /**
     * Every endpoint known, usable or not.
     *
     * @return what is thought of each
     */
    public List<Verdict> endpoints() {
        return endpoints;
    }

    @Override
    public String toString() {
        return table;
    }
}
