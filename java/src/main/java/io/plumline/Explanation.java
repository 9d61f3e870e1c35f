package io.plumline;

import io.plumline.internal.FrameReader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What a client knows about a service, and which endpoints it would call. {@link #toString} returns a table. */
public final class Explanation {
    private final String query;
    private final String summary;
    private final int usable;
    private final String source;
    private final String table;
    private final List<EndpointExplanation> endpoints;

    Explanation(FrameReader frame) {
        query = frame.text();
        summary = frame.text();
        usable = frame.count();
        source = frame.text();
        table = frame.text();
        int count = frame.u32();
        List<EndpointExplanation> each = new ArrayList<>(count);
        for (int n = 0; n < count; n++) {
            each.add(new EndpointExplanation(frame));
        }
        endpoints = Collections.unmodifiableList(each);
    }

    /**
     * The query that is explained.
     *
     * @return the query as text
     */
    public String query() {
        return query;
    }

    /**
     * How many endpoints are usable and which registry the list is from, or why there is no endpoint.
     *
     * @return one line
     */
    public String summary() {
        return summary;
    }

    /**
     * How many endpoints would be called.
     *
     * @return the number of endpoints
     */
    public int usable() {
        return usable;
    }

    /**
     * Which registry the list is from, and its age.
     *
     * @return one line
     */
    public String source() {
        return source;
    }

    /**
     * Every known endpoint, usable or not.
     *
     * @return an explanation for each
     */
    public List<EndpointExplanation> endpoints() {
        return endpoints;
    }

    @Override
    public String toString() {
        return table;
    }
}
