"""A hundred names of rooms, of one to three words: for games with many rooms."""

NAMES = (  # noqa: SIM905
    "Anteroom, Apiary, Archive, Armory, Arsenal, Atelier, Atrium, Attic, Aviary, Back Porch, Bakery, Ballroom, "
    "Banquet Hall, Barn, Bell Tower, Belvedere, Boathouse, Boiler Room, Bookshop, Brewery, Butlery, Buttery, Catacomb, "
    "Chapel, Cistern, Clock Room, Cloister, Coal Cellar, Coatroom, Colonnade, Conservatory, Courtyard, Crow Loft, "
    "Crypt, Dairy, Darkroom, Dovecote, Drawing Room, Dry Dock, Engine Room, Fernery, Forge, Foundry, Foyer, Fruit "
    "Cellar, Gallery, Game Larder, Garden, Gatehouse, Glasshouse, Granary, Great Hall, Grotto, Guardroom, Harness "
    "Room, Hayloft, Herb Garden, Ice House, Infirmary, Joinery, Kennel, Laboratory, Lamp Room, Landing, Library, "
    "Lighthouse, Linen Closet, Map Room, Mill, Mint, Music Room, Nursery, Observatory, Orangery, Orchard, Parlor, "
    "Pavilion, Planetarium, Pottery, Pump Room, Quarry, Rookery, Rose Garden, Root Cellar, Saddlery, Scriptorium, "
    "Scullery, Smokehouse, Spice Room, Stables, Sun Deck, Tannery, Tea House, Throne Room, Toolshed, Vestibule, "
    "Vineyard, Wardrobe, Wine Cellar, Winter Garden"
).split(", ")
