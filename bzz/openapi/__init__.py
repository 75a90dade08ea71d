"""The API's description in OpenAPI 3.1, made from the routes and the models themselves.

    book         collects what the paths of one description share
    values       a field's type as a JSON Schema
    models       a Document class as JSON Schemas: as shown, and as accepted
    forms        what a class's forms may hold
    parameters   path, query and header parameters
    places       what has a URL below a resource
    answers      answers with their headers, and the problems
    operations   a method at a path: what it takes, and all it can answer
    bodies       bodies of requests, in all formats
    resources    the paths of one resource, which its handler class gives from `describe`
    route        the route that serves the description

Reads classes only: no document, no database.
"""
