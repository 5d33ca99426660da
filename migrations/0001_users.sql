-- Users of the app. Their tokens' `sub` is `cognito_user_id`; until a user has
-- signed up with Cognito there is none.
CREATE TABLE public.users (
    uuid            uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    display_name    text        NOT NULL,
    handle          text        NOT NULL,
    email           text        NOT NULL,
    cognito_user_id text,
    created_at      timestamptz NOT NULL DEFAULT now(),

    CONSTRAINT users_handle_key UNIQUE (handle),
    -- Nulls are distinct. Deferrable, so that two users can swap.
    CONSTRAINT users_cognito_user_id_key UNIQUE (cognito_user_id) DEFERRABLE INITIALLY IMMEDIATE
);
